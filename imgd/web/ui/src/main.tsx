import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./styles/base.css";
import { start } from "./start";
import { App } from "./shell/app";

start();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
