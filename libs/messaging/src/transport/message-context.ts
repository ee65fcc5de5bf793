import { BaseRpcContext } from '@nestjs/microservices';

export interface MessageFacts {
  readonly subject: string;
  /** The caller's idempotency key, if it gave one. */
  readonly requestId: string | undefined;
  readonly actor: string;
  readonly deliveryCount: number;
}

/** What a handler may ask about its message: `@Ctx() context: MessageContext`. */
export class MessageContext extends BaseRpcContext<[MessageFacts]> {
  get facts(): MessageFacts {
    return this.args[0];
  }
}
