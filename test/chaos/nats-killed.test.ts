import { describe } from 'vitest';
import { killAtEveryPosition } from './kill-at-every-position.js';
import { changeThroughInUse, liveThroughInUse } from './volume-life.js';

const victim = 'nats';

describe('NATS killed, and back on its store, at journal positions of the life of a volume in use', () => {
  killAtEveryPosition({
    ...{ nodes: 3, victim, work: liveThroughInUse },
    processes: ['volume-svc', 'replica-svc', 'node-agent-n1'],
    takes: (point) => /^(saga|agent)\//.test(point),
    // Those of the services, and those of the engine node's agent.
    atLeast: 86,
    oneIn: 8,
  });
});

describe('NATS killed, and back on its store, at journal positions of what changes a volume in use', () => {
  killAtEveryPosition({
    ...{ nodes: 4, victim, work: changeThroughInUse },
    processes: ['volume-svc', 'replica-svc', 'node-agent-n1'],
    takes: (point) =>
      /saga\/(volume\.(scale|update|expand)|replica\.(move|remove|rebuild)|snapshot\.verify)\/|agent\/(rebuild\.|engine\.|volume\.)/.test(
        point,
      ),
    atLeast: 60,
    oneIn: 10,
  });
});
