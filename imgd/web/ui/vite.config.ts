import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Relative addresses only: the page works behind any path prefix. Nothing is inlined: the page's own rules
// (Content-Security-Policy) let in what has this origin, and no data: addresses.
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    outDir: "../page",
    emptyOutDir: true,
    assetsDir: "ui",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rollupOptions: { output: { entryFileNames: "ui/[name]-[hash].js", chunkFileNames: "ui/[name]-[hash].js", assetFileNames: "ui/[name]-[hash][extname]" } },
  },
  test: { include: ["tests/logic/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
