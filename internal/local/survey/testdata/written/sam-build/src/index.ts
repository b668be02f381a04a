import { nothing } from "./not-built.ts";
