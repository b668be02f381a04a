import { binary } from "../../testing/bellhop.mjs";

/** Builds the binary that all tests run, unless BELLHOP names one. */
export default async function setup(): Promise<void> {
  await binary();
}
