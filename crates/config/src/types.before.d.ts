// Types of config files. Made from the table of fields; see docs/config.md of maitred.

type SizeUnit = "K" | "M" | "G" | "T" | "k" | "m" | "g" | "t";

/** Bytes, or with a unit: `"500M"` (powers of 1024). */
export type Size = `${number}` | `${number}${SizeUnit | `${SizeUnit}${"B" | "b" | "iB" | "ib"}` | "B" | "b"}`;

/** Milliseconds, or with a unit: `"1.5s"`. */
export type Time = `${number}` | `${number}${"ms" | "s" | "m" | "min" | "h" | "d"}`;

/** A signal's name. */
export type Signal =
  | "HUP" | "INT" | "QUIT" | "TRAP" | "ABRT" | "BUS" | "FPE" | "KILL" | "USR1" | "SEGV" | "USR2"
  | "PIPE" | "ALRM" | "TERM" | "CONT" | "STOP" | "TSTP" | "URG" | "WINCH" | "IO";

/** The value of a variable; an object or a list becomes JSON. */
export type Variable = string | number | boolean | object | null | undefined;

/** What a config file holds: an object with `apps`, a list of apps, or one app. */
export type Config = { apps: App[] | App; deploy?: unknown; $schema?: string } | App[] | App;

/** What a config file may export. A function is called with the name that `--env` chose. */
export type Exported = Config | Promise<Config> | ((env?: string) => Config | Promise<Config>);

/** Returns the config as it is; editors and `tsc` check its fields. */
export declare function defineConfig(config: Exported): Exported;
