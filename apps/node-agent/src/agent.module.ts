import { Module, type DynamicModule } from '@nestjs/common';
import { COMMAND_EXECUTOR, type CommandExecutor } from './app/command-executor.js';
import { DiskController } from './controllers/disk.controller.js';
import { EngineController } from './controllers/engine.controller.js';
import { FrontendController } from './controllers/frontend.controller.js';
import { ImageController } from './controllers/image.controller.js';
import { OrphanController } from './controllers/orphan.controller.js';
import { RebuildController } from './controllers/rebuild.controller.js';
import { RecordController } from './controllers/record.controller.js';
import { ReplicaController } from './controllers/replica.controller.js';
import { SnapshotController } from './controllers/snapshot.controller.js';
import { TargetController } from './controllers/target.controller.js';

/** The agent's commands as Nest sees them; what they do lies behind the executor. */
@Module({})
export class AgentModule {
  static register(executor: CommandExecutor): DynamicModule {
    return {
      module: AgentModule,
      controllers: [
        DiskController,
        ReplicaController,
        SnapshotController,
        EngineController,
        FrontendController,
        RebuildController,
        RecordController,
        ImageController,
        TargetController,
        OrphanController,
      ],
      providers: [{ provide: COMMAND_EXECUTOR, useValue: executor }],
    };
  }
}
