import type { DigestPage } from './cluster-digests.js';
import type { FileVersion } from './image.js';
import type { RecordPosition } from './record-position.js';
import type { NvmfEndpoint } from './volume.js';

type Nothing = Readonly<Record<string, never>>;

/** A copy of an image: there is one a disk at most. */
export interface ImageCopyReference {
  readonly image: string;
  readonly disk: string;
}

/**
 * Commands on the copies of images (docs/adr/0019). A copy is written while it is a draft, then sealed: from then on
 * it never changes, and replicas may start as its clones. It belongs to its image: no command on a replica or a
 * volume takes it away.
 */
export interface ImageCommandMap {
  /**
   * Makes an empty draft of `sizeBytes`, rounded up to whole clusters, and exports it to one host; with `hostNqn` null
   * it is for `image.fetch-copy` alone. The same operation gets its draft again, with what was written to it; any other
   * copy that is there stands in the way (IMAGE_COPY_EXISTS) until it is deleted.
   *
   * The writer writes whole clusters, aligned, the rest of one that is written in part as zeros, and leaves out those
   * that are zeros throughout. On every target a cluster that nobody wrote reads as zeros; one that was written in
   * part has old bytes of the disk in the rest where the target does not fill new clusters (stock SPDK without
   * `clear_method`; longhorn.md S3). What was acknowledged is on the disk once it was flushed, or the copy is sealed.
   * A writer whose connection broke can't tell what of it a crash of the target took: the digests of the sealed copy do.
   */
  'image.create-copy': {
    input: ImageCopyReference & { sizeBytes: number; hostNqn: string | null };
    output: { lvolUuid: string; sizeBytes: number; endpoint: NvmfEndpoint | null };
  };
  /** Cuts the writer off, flushes, and freezes the draft. A sealed copy stays as it is, and answers the same. */
  'image.seal-copy': {
    input: ImageCopyReference;
    output: { lvolUuid: string; sizeBytes: number; allocatedBytes: number };
  };
  /**
   * Takes up a sealed copy that is on this disk under this uuid, and on no record of the node, since that was installed anew.
   * IMAGE_COPY_NOT_FOUND when it is not.
   */
  'image.adopt-copy': {
    input: ImageCopyReference & { lvolUuid: string };
    output: { lvolUuid: string };
  };
  /**
   * Lets one more host read the sealed copy, which any number may do at a time. An agent reads as
   * `imageFetchHostNqn` of the copy that it is to make.
   */
  'image.export-copy': {
    input: ImageCopyReference & { hostNqn: string };
    output: NvmfEndpoint;
  };
  /** Ends what `image.export-copy` gave to this host; the export goes with its last host. */
  'image.unexport-copy': { input: ImageCopyReference & { hostNqn: string }; output: Nothing };
  /**
   * Brings a page of the draft to the content that the digests say, from a sealed copy that this copy's
   * `imageFetchHostNqn` may read. Clusters of zeros are neither read nor written; each other one is checked against its
   * digest before it is written, and one that differs is refused (IMAGE_COPY_CORRUPT). A source that does not answer is
   * told as such (IMAGE_SOURCE_LOST): another copy may. What was fetched is fetched again by a repetition. Reports on
   * the progress subject.
   */
  'image.fetch-copy': {
    input: ImageCopyReference & {
      source: NvmfEndpoint;
      firstCluster: number;
      digests: DigestPage;
    };
    output: { copiedClusters: number };
  };
  /**
   * One digest over the whole content of the sealed copy (`rootDigestOf`). `reread`: read from the disk now, whatever
   * was read before, and no faster than `mibPerSecond` (0, or missing: no limit), so that a check takes little from those
   * who work. Otherwise an earlier reading counts. A target that can hashes what it reads itself, and what it
   * has not allocated it need not read. Reports on the progress subject.
   */
  'image.digest-copy': {
    input: ImageCopyReference & { reread: boolean; mibPerSecond?: number };
    output: { sha256: string; sizeBytes: number };
  };
  /** Digests of some clusters of the sealed copy, in order; at most MAX_DIGESTS_PER_PAGE. */
  'image.read-digests': {
    input: ImageCopyReference & { firstCluster: number; clusters: number };
    output: { digests: DigestPage };
  };
  /**
   * Deletes the copy, draft or sealed, with its exports. Refused while a clone stands on it: IMAGE_COPY_IN_USE, with
   * the replicas in `details.replicas`. `record`: where the image's record stands that does not want the copy; refused
   * with RECORD_STALE when the node keeps a newer one. Missing: the image itself is wanted no more, or the copy is a draft.
   */
  'image.delete-copy': { input: ImageCopyReference & { record?: RecordPosition }; output: Nothing };
  /**
   * Answers for the bytes of a file of this node on `nodeFileSubject`, until it is told that this is over or nobody
   * has asked for a while. Sent again, under the same token, it does so again: for a reader that was slow, or after a
   * restart of the agent. Only a regular file in a folder that the agent was told of (IMAGE_FILES_CLOSED,
   * IMAGE_SOURCE_REFUSED, IMAGE_SOURCE_NOT_FOUND), and, with `expected`, one that has not changed since
   * (IMAGE_SOURCE_CHANGED).
   */
  'image.serve-file': {
    input: { path: string; token: string; expected: FileVersion | null };
    output: FileVersion;
  };
}
