/** Which files come next, for who reads a directory in the order of its listing. */

import assert from "node:assert/strict";
import { ListingOrder } from "../src/mount/listing_order.ts";
import { Listings } from "../src/mount/listings.ts";

/** Lists files first to last in a directory. */
function list(order: ListingOrder, directory: number, first: number, last: number) {
  order.begin(directory);
  for (let file = first; file <= last; file++) order.add(directory, file);
  return order.listed();
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

Deno.test("ListingOrder: who opens files at random is told of none", () => {
  const order = new ListingOrder();
  list(order, 2, 100, 200);
  for (const file of [150, 130, 190, 110, 112, 199]) assert.deepEqual(order.opened(file), []);
});

Deno.test("ListingOrder: a second file in order begins a run that grows", () => {
  const order = new ListingOrder();
  assert.deepEqual(list(order, 2, 100, 400), []);
  assert.deepEqual(order.opened(100), []);
  assert.deepEqual(order.opened(101), range(102, 109));
  const due = range(102, 109);
  for (let file = 102; file <= 300; file++) {
    const more = order.opened(file);
    assert.ok(more.length <= 64);
    due.push(...more);
    assert.ok(due.at(-1)! > file, `file ${file} is the last that was due`);
  }
  assert.deepEqual(due, range(102, due.at(-1)!));
});

Deno.test("ListingOrder: the run goes on when most of what was due was never asked for", () => {
  const order = new ListingOrder();
  list(order, 2, 100, 400);
  order.opened(100);
  order.opened(101);
  assert.deepEqual(order.opened(109), range(110, 125));
});

Deno.test("ListingOrder: a run is not disturbed by a directory in between", () => {
  const order = new ListingOrder();
  list(order, 2, 100, 400);
  order.opened(100);
  order.opened(101);
  assert.deepEqual(list(order, 3, 1000, 1003), [1000, 1001, 1002, 1003]);
  for (const file of range(1000, 1003)) assert.deepEqual(order.opened(file), []);
  assert.deepEqual(order.opened(106), range(110, 125));
});

Deno.test("ListingOrder: who only lists is told of no files any more", () => {
  const order = new ListingOrder();
  list(order, 2, 100, 110);
  order.opened(100);
  order.opened(101);
  const told = [3, 4, 5, 6, 7].map((directory) =>
    list(order, directory, directory * 1000, directory * 1000 + 3).length
  );
  assert.deepEqual(told, [4, 4, 4, 0, 0]);
});

Deno.test("ListingOrder: names of one file, and listings in pieces, do no harm", () => {
  const order = new ListingOrder();
  order.begin(2);
  for (const file of [100, 101, 100, 101, 102]) order.add(2, file);
  order.listed();
  for (let round = 0; round < 100; round++) {
    for (const file of [100, 101, 102]) assert.ok(order.opened(file).length <= 64);
  }
});

Deno.test("Listings: attributes end after some thousand rows, until a name is looked up", () => {
  const listings = new Listings();
  listings.resume(12, 0);
  const wanted = () =>
    Array.from({ length: 20_000 }, () => listings.wantsAttributes(12)).lastIndexOf(true) + 1;
  assert.equal(wanted(), 8192);
  assert.equal(wanted(), 0);
  listings.lookedUp(12);
  assert.equal(wanted(), 8192);
});

Deno.test("Listings: the end is known once it was met, until the listing begins anew", () => {
  const listings = new Listings();
  assert.equal(listings.resume(12, 0), false);
  listings.ended(12, 77);
  assert.equal(listings.resume(12, 40), false);
  assert.equal(listings.resume(12, 77), true);
  assert.equal(listings.resume(12, 0), false);
  assert.equal(listings.resume(12, 77), false);
});
