import { formatBytes, MIB } from '@lariat/kernel';
import { formatDuration } from './durations.js';

/** The part of a stream that progress needs; stderr is one. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  /** `bytes`, `clusters`, or any word. */
  readonly unit: string;
  /** Units a second, lately. */
  readonly perSecond?: number;
  readonly timeLeftMs?: number;
}

const BAR_WIDTH = 24;
const FILLED = '█';
const EMPTY = '░';
const CLEAR_LINE = '\r\u001b[2K';
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] as const;
/** Without a terminal a line is printed each time another tenth is done. */
const PLAIN_STEPS = 10;

export function fraction({ done, total }: Progress): number {
  return total <= 0 ? 0 : Math.min(1, Math.max(0, done / total));
}

export function formatBar(share: number, width: number = BAR_WIDTH): string {
  const filled = Math.round(share * width);
  return FILLED.repeat(filled) + EMPTY.repeat(width - filled);
}

export function formatAmount({ done, total, unit }: Progress): string {
  if (unit === 'bytes') return `${formatBytes(done)} of ${formatBytes(total)}`;
  // A cluster is 1 MiB on every disk of Lariat's.
  if (unit === 'clusters') return `${formatBytes(done * MIB)} of ${formatBytes(total * MIB)}`;
  return `${done} of ${total} ${unit}`;
}

/** How fast it goes, and for how long, where that is known: `12 MiB/s, 3 m left`. */
export function formatPace({ perSecond, timeLeftMs, unit }: Progress): string {
  if (perSecond === undefined || perSecond <= 0) return '';
  const rate = unit === 'bytes' ? formatBytes(perSecond) : `${perSecond} ${unit}`;
  return timeLeftMs === undefined ? `${rate}/s` : `${rate}/s, ${formatDuration(timeLeftMs)} left`;
}

/** One line that shows how far something is: redrawn on a terminal, else a few plain lines. */
export class ProgressLine {
  private frame = 0;
  private lastStep = -1;
  private lastLabel = '';
  private isDrawn = false;

  constructor(private readonly terminal: Terminal) {}

  /** `passing` changes all the time and would make a plain line of every look: only a terminal shows it. */
  show(label: string, progress: Progress | null, passing = ''): void {
    if (this.terminal.isTTY === true) this.draw(`${label} ${passing}`.trimEnd(), progress);
    else this.print(label, progress);
  }

  /** Takes the line away, so that the result stands alone. */
  clear(): void {
    if (this.isDrawn) this.terminal.write(CLEAR_LINE);
    this.isDrawn = false;
  }

  private draw(label: string, progress: Progress | null): void {
    const spin = SPINNER[this.frame % SPINNER.length] ?? '';
    this.frame += 1;
    const text =
      progress === null || progress.total === 0
        ? `${spin} ${label}`
        : `${formatBar(fraction(progress))} ${Math.floor(fraction(progress) * 100)
            .toString()
            .padStart(
              3,
            )} %  ${[formatAmount(progress), formatPace(progress), label].filter(Boolean).join('  ')}`;
    // A terminal that does not know its width says 0.
    const width = (this.terminal.columns || 80) - 1;
    this.terminal.write(CLEAR_LINE + text.slice(0, width));
    this.isDrawn = true;
  }

  private print(label: string, progress: Progress | null): void {
    const step = progress === null ? 0 : Math.floor(fraction(progress) * PLAIN_STEPS);
    if (label === this.lastLabel && step <= this.lastStep) return;
    this.lastLabel = label;
    this.lastStep = step;
    this.terminal.write(
      progress === null || progress.total === 0
        ? `${label}\n`
        : `${label}: ${Math.floor(fraction(progress) * 100)} % (${formatAmount(progress)})\n`,
    );
  }
}
