import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  build: {
    // Into the Python package, whose plugin serves it.
    outDir: here("../plugins/pages/built"),
    emptyOutDir: true,
    // A page's policy allows no data: address.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { visitors: here("index.html"), kiosk: here("kiosk.html"), desk: here("desk.html") },
      output: {
        // What any two pages share is one file: a browser asks for each file by a connection of its own.
        codeSplitting: { groups: [{ name: "base", minShareCount: 2, test: (id) => !/node_modules.mqtt/.test(id) }] },
      },
    },
  },
  plugins: [
    {
      // In line, since it must work where a file did not come. The box allows it by its hash.
      name: "again",
      transformIndexHtml: () => [
        { tag: "script", children: readFileSync(here("src/again.js"), "utf8"), injectTo: "head-prepend" },
      ],
    },
  ],
});
