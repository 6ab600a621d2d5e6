/** What `fuse4fs doctor` reports. */

/** One thing that was looked at. */
export interface Finding {
  /** Key in the JSON. */
  readonly name: string;
  readonly label: string;
  /** `missing` keeps fuse4fs from mounting, `absent` only from what the advice says. */
  readonly state: "ok" | "missing" | "absent";
  /** What was found. */
  readonly value: string;
  /** What to do where it is not there. */
  readonly advice?: string;
}

export function ok(name: string, label: string, value: string): Finding {
  return { name, label, state: "ok", value };
}

export function missing(name: string, label: string, value: string, advice: string): Finding {
  return { name, label, state: "missing", value, advice };
}

export function absent(name: string, label: string, value: string, advice: string): Finding {
  return { name, label, state: "absent", value, advice };
}
