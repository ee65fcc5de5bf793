import { SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import { LariatError } from '@lariat/kernel';
import type { CallObserver } from './json-rpc/observer.js';
import { SpdkError } from './json-rpc/spdk-error.js';

/**
 * One CLIENT span a call, child of the span that is active when the call is made. Attributes follow
 * OpenTelemetry's conventions for JSON-RPC; parameters are not recorded.
 */
export function tracedCalls(tracer: Tracer): CallObserver {
  return {
    onCall(call) {
      const span = tracer.startSpan(`spdk ${call.method}`, {
        kind: SpanKind.CLIENT,
        attributes: {
          'rpc.system.name': 'jsonrpc',
          'rpc.method': call.method,
          'jsonrpc.request.id': String(call.id),
          'server.address': call.socketPath,
        },
      });
      return {
        end(outcome) {
          if ('error' in outcome) {
            const { error } = outcome;
            if (error instanceof SpdkError) span.setAttribute('rpc.status_code', error.rpcCode);
            span.setAttribute('error.type', error instanceof LariatError ? error.code : error.name);
            span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
          }
          span.end();
        },
      };
    },
  };
}
