/**
 * Parts of training: parameter groups, schedules, logs.
 *
 * @packageDocumentation
 */
export {
  parameterGroups,
  weightDecayTargets,
  type ParameterGroupName,
  type ParameterGroupOptions,
  type ParameterGroups,
  type ResolvedParameterGroups,
  type WeightDecayTarget,
} from './groups.js';
export { schedules, type ScheduleName } from './schedule.js';
export { FileLog, logFormats } from './logs/file-log.js';
export type { TrainingLog } from './logs/log.js';
export { TensorBoardLog } from './logs/tensorboard-log.js';
