export { AgentModule } from './agent.module.js';
export { Agent } from './agent.js';
export { readConfig, type AgentConfig } from './config.js';
