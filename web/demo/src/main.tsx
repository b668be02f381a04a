import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.js";
import "./style.css";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App query={Object.fromEntries(new URLSearchParams(location.search))} />
  </StrictMode>,
);
