/**
 * Memory for images of blocks, used again and again: each operation takes a few and gives them
 * back, and to allocate them anew each time would cost more than to copy them.
 */

/** Images kept for the next operation. */
const MAX_SPARE = 256;

export class ImagePool {
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];

  /** A copy of a block; all blocks have the same size. */
  copyOf(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const image = this.#spare.pop();
    if (image === undefined) return bytes.slice();
    image.set(bytes);
    return image;
  }

  /** The image is not used any more. */
  giveBack(image: Uint8Array<ArrayBuffer>): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(image);
  }
}
