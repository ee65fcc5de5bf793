export interface TargetVersion {
  readonly version: string;
  readonly fields: {
    readonly major: number;
    readonly minor: number;
    readonly patch: number;
    readonly suffix: string;
  };
}

/**
 * What `spdk_get_version` answers. The numbers say which SPDK's RPCs are followed; the text says that this
 * is not SPDK.
 */
export const TARGET_VERSION: TargetVersion = Object.freeze({
  version: 'Lariat soft-target v0.1.0 (RPCs of SPDK v26.05)',
  fields: Object.freeze({ major: 26, minor: 5, patch: 0, suffix: '-lariat' }),
});
