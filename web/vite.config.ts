import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  build: {
    // Into the Python package, whose plugin serves it.
    outDir: here("../plugins/pages/built"),
    emptyOutDir: true,
    // A page's policy allows no data: address, and nothing in line.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { visitors: here("index.html"), kiosk: here("kiosk.html"), desk: here("desk.html") },
    },
  },
});
