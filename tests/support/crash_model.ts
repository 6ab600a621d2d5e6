/**
 * What a file system should hold, told in the plainest way: nodes and names in memory. Contents are
 * replaced, never changed, so that older states of the tree may share them.
 */

import { EXT4_ROOT_INO } from "../../src/disk/inode.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../src/sys/stat.ts";
import { type CrashTree, factsAsText, treeAsText, type TreeEntry } from "./crash_tree.ts";

export type Content = Uint8Array<ArrayBuffer>;

export class ModelNode {
  static #last = 0;
  readonly id: number = ++ModelNode.#last;
  mode: number;
  /** Names; of a directory, those that lead into it. */
  links = 0;
  content: Content | undefined;
  readonly target: string | undefined;
  readonly xattrs = new Map<string, Content>();
  /** Of a directory. */
  readonly children: Map<string, ModelNode> | undefined;
  /** The inode that the file system has for it. */
  ino: number | undefined;

  constructor(mode: number, target?: string) {
    this.mode = mode;
    this.target = target;
    if ((mode & S_IFMT) === S_IFREG) this.content = new Uint8Array();
    if ((mode & S_IFMT) === S_IFDIR) this.children = new Map();
  }

  get isDirectory(): boolean {
    return this.children !== undefined;
  }

  /** As stat(2) counts them. */
  get linkCount(): number {
    if (this.children === undefined) return this.links;
    return 2 + [...this.children.values()].filter((child) => child.isDirectory).length;
  }

  /** The same without its children. */
  copy(): ModelNode {
    const node = new ModelNode(this.mode, this.target);
    node.links = this.links;
    node.content = this.content;
    node.ino = this.ino;
    for (const [name, value] of this.xattrs) node.xattrs.set(name, value);
    return node;
  }

  write(position: number, bytes: Uint8Array): void {
    const before = this.content!;
    const after = new Uint8Array(Math.max(before.length, position + bytes.length));
    after.set(before);
    after.set(bytes, position);
    this.content = after;
  }

  resize(size: number): void {
    const after = new Uint8Array(size);
    after.set(this.content!.subarray(0, size));
    this.content = after;
  }

  zero(start: number, end: number): void {
    this.content = this.content!.slice();
    this.content.fill(0, start, end);
  }
}

/** A node and where it is. */
export interface Place {
  readonly path: string;
  readonly dir: ModelNode;
  readonly name: string;
  readonly node: ModelNode;
}

/** The tree at one point of time. */
export interface Snapshot {
  readonly tree: CrashTree;
  readonly text: string;
  /** Content of every file, by id, those without a name as well. */
  readonly contents: ReadonlyMap<number, Content>;
}

export class Model {
  readonly root = new ModelNode(S_IFDIR | 0o755);
  /** Nodes without a name that are in use. */
  readonly unlinked = new Set<ModelNode>();

  /** As mke2fs makes it. */
  constructor() {
    this.root.ino = EXT4_ROOT_INO;
    this.add(this.root, "lost+found", new ModelNode(S_IFDIR | 0o700));
  }

  /** The same tree in nodes of its own; those without a name are left out. */
  clone(): Model {
    const model = new Model();
    const nodes = new Map<ModelNode, ModelNode>();
    const copy = (from: ModelNode, to: ModelNode) => {
      for (const [name, child] of from.children!) {
        const known = nodes.get(child);
        const node = known ?? child.copy();
        nodes.set(child, node);
        to.children!.set(name, node);
        if (known === undefined && child.isDirectory) copy(child, node);
      }
    };
    copy(this.root, model.root);
    return model;
  }

  /** What has this path, such as `/folder/file`. */
  find(path: string): ModelNode {
    let node: ModelNode | undefined = this.root;
    for (const name of path.split("/").slice(1)) node = node?.children?.get(name);
    if (node === undefined) throw new Error(`no ${path}`);
    return node;
  }

  add(dir: ModelNode, name: string, node: ModelNode): void {
    if (dir.children!.has(name)) throw new Error(`${name} is there already`);
    dir.children!.set(name, node);
    node.links++;
  }

  /** Takes a name away; the node may live on without. */
  remove(dir: ModelNode, name: string): ModelNode {
    const node = dir.children!.get(name);
    if (node === undefined) throw new Error(`no ${name}`);
    dir.children!.delete(name);
    node.links--;
    return node;
  }

  /** Every name below the root, but lost+found. */
  places(): Place[] {
    const places: Place[] = [];
    const visit = (path: string, dir: ModelNode) => {
      for (const [name, node] of dir.children!) {
        if (path === "" && name === "lost+found") continue;
        places.push({ path: `${path}/${name}`, dir, name, node });
        if (node.isDirectory) visit(`${path}/${name}`, node);
      }
    };
    visit("", this.root);
    return places;
  }

  snapshot(): Snapshot {
    const tree = new Map<string, TreeEntry>();
    const contents = new Map<number, Content>();
    const visit = (path: string, node: ModelNode) => {
      tree.set(path, entryOf(node));
      if (node.content !== undefined) contents.set(node.id, node.content);
      for (const [name, child] of node.children ?? []) visit(`${path}/${name}`, child);
    };
    visit("", this.root);
    for (const { id, content } of this.unlinked) if (content) contents.set(id, content);
    return { tree, text: treeAsText(tree), contents };
  }
}

function entryOf(node: ModelNode): TreeEntry {
  const { id, mode, linkCount, target, xattrs, content } = node;
  const facts = factsAsText({ mode, links: linkCount, uid: 0, gid: 0, target, xattrs });
  return content === undefined ? { facts, id } : { facts, id, content };
}

export const FILE_MODE = S_IFREG | 0o644;
export const DIRECTORY_MODE = S_IFDIR | 0o755;
export const LINK_MODE = S_IFLNK | 0o777;
