import { description } from '../../description.js';

/** What optimizers keep for each weight, under its name: in PyTorch, and here. */
const states: ReadonlySet<string> = new Set([
  ...['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'exp_avg_diff', 'exp_inf', 'momentum_buffer'],
  ...['square_avg', 'grad_avg', 'acc_delta', 'grad', 'grads', 'gradients'],
  ...description.optimizers.flatMap(({ slots }) => slots),
]);

/** `optimizer`, `optim`, `opt_state`, `state_optimizer`, `optimizer_states`, `optimizerG`. */
const optimizer = /(^|_)([Oo]ptim(izer)?s?|opt)(_|$|[A-Z])/;

/**
 * True for the name of an optimizer's state, such as `optimizer.exp_avg.layer1.0.conv1.weight`: it has the
 * shape of a weight, and often its name, but is none.
 */
export function isOptimizerState(name: string): boolean {
  return name.split('.').some((segment) => states.has(segment) || optimizer.test(segment));
}
