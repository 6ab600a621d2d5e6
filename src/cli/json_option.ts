import { Option } from "commander";

/** The option of every command that can print JSON. */
export function jsonOption(text = "print JSON"): Option {
  return new Option("--json", text);
}
