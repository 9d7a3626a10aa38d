/**
 * What the log says about an error: its type, text, code and stack, and those of its causes. Libraries attach more to
 * theirs: ioredis attaches the command with its arguments, which are passwords, tokens and values.
 */
export interface ShownError {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: ShownError;
}

const CAUSES_MAX = 5;

export function shownError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === 'object' ? 'an object' : String(error);
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    // Its first lines repeat the message.
    stack: error.stack
      ?.split('\n')
      .filter((line) => line.startsWith('    at '))
      .join('\n'),
    ...(error.cause instanceof Error && depth < CAUSES_MAX
      ? { cause: shownError(error.cause, depth + 1) as ShownError }
      : {}),
  };
}
