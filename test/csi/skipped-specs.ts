export interface SkippedSpecs {
  readonly specs: RegExp;
  readonly reason: string;
}

/** Specs that csi-sanity may pass over; one that is not of these must run. */
export const MAY_SKIP: readonly SkippedSpecs[] = [
  { specs: /published but is incompatible/, reason: 'PUBLISH_READONLY is not claimed' },
  {
    specs: /VolumeHealth|StorageHealth|with accessibility requirements: SNAPSHOT_ACCESSIBILITY/,
    reason: 'a call of a later version of the interface than 1.12',
  },
  { specs: /pagination should detect volumes added/, reason: 'csi-test has it pending' },
  {
    specs: /max attach limit/,
    reason: 'asked for by a flag of csi-sanity, which attaches as many volumes',
  },
];

/** Specs that use a device on the node. */
export const NEEDS_DEVICE =
  'Node Service should|NodeExpandVolume|NodePublish|NodeUnpublish|volume lifecycle';

export const NO_DEVICES: SkippedSpecs = {
  specs: new RegExp(NEEDS_DEVICE),
  reason: 'no agent of this machine makes block devices',
};
