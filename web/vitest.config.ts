import { defineConfig, mergeConfig } from "vitest/config";
import pages from "./vite.config.ts";

// Beside vite.config.ts, which must do without what only developers install.
export default mergeConfig(pages, defineConfig({ test: { include: ["tests/**/*.test.ts"] } }));
