/** A source that cannot be read at all: an error where the user named it, a skipped file inside a folder. */
import { UserError } from "../../util/index.ts";

export class UnusableSource extends UserError {}
