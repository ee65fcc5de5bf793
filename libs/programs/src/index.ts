export { findProgram } from './find-program.js';
export {
  type ProgramOutcome,
  type ProgramResult,
  type ProgramRun,
  runProgram,
} from './run-program.js';
