/** What is wanted of a list. */
export interface PageQuery {
  readonly order: string;
  readonly descending: boolean;
  /** All of them must be an item's. */
  readonly facets: readonly string[];
  /** The place of the last item of the page before. */
  readonly after: string | null;
  /** Null: all that there are. */
  readonly limit: number | null;
  /** A page ends before an item with which it would be larger, unless that is its first. */
  readonly maxBytes: number;
}

export interface Page {
  /** Documents, as JSON. */
  readonly items: readonly string[];
  /** All that the facets let through, on this page and others. */
  readonly total: number;
  /** The place of the last item, when there are more. */
  readonly last: string | null;
}

/** How many items have each value of a facet: `state` → { attached: 3 }. */
export type FacetCounts = Readonly<Record<string, number>>;

/** A list that is kept up to date with a bucket of records, to be asked for pages of it. */
export interface ReadModel {
  /** What it holds when it is asked; the pages of one list are of different moments. */
  page(query: PageQuery): Promise<Page>;
  counts(facetName: string): Promise<FacetCounts>;
}

/** What an operator may want to know of how a list is served. */
export interface ReadModelNumbers {
  readonly adapter: 'memory' | 'redis';
  /** Number of the bucket's stream up to which this process has seen everything. */
  readonly position: number;
  readonly items: number;
  /** For how long the oldest change that the shared model lacks has waited; null without one. */
  readonly lagMs: number | null;
  /** Pages answered by the shared model, and by this process' memory. */
  readonly shared: number;
  readonly memory: number;
  /** How often the shared model was made anew. */
  readonly rebuilds: number;
}
