import type { CommandMap, CommandName, SurveyedImage, SurveyedVolume } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { NodeAnswer } from '../domain/recovery/evidence.js';

/** Sends one command to a node; `key` tells it from others of its name. */
export type SendToNode = <Name extends CommandName>(
  node: string,
  name: Name,
  input: CommandMap[Name]['input'],
  key: string,
) => Promise<CommandMap[Name]['output']>;

/** Asks every node on record what it keeps and has of volumes and images, side by side. Changes nothing. */
export async function surveyNodes(
  client: Pick<LariatClient, 'request'>,
  send: SendToNode,
): Promise<readonly NodeAnswer[]> {
  const { nodes } = await client.request('node.list', {});
  return Promise.all(
    nodes.map(async ({ name, state, reason }): Promise<NodeAnswer> => {
      if (state === 'down') return { node: name, answered: false, reason: `down: ${reason}` };
      try {
        return { node: name, answered: true, ...(await surveyNode(name, send)) };
      } catch (error) {
        // No answer says nothing about what the node has (invariant 2).
        return { node: name, answered: false, reason: toLariatError(error).message };
      }
    }),
  );
}

async function surveyNode(
  node: string,
  send: SendToNode,
): Promise<Omit<CommandMap['record.survey']['output'], 'next'>> {
  const volumes: SurveyedVolume[] = [];
  const images: SurveyedImage[] = [];
  for (let after: string | null = null; ;) {
    const key = `${node}/${after ?? ''}`;
    const page: CommandMap['record.survey']['output'] = await send(
      node,
      'record.survey',
      { after },
      key,
    );
    volumes.push(...page.volumes);
    images.push(...page.images);
    if (page.next === null) return { disks: page.disks, volumes, images };
    after = page.next;
  }
}
