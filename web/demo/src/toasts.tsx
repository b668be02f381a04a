import { createContext, useCallback, useContext, useState, type ReactNode } from "react";

type Kind = "error" | "info";

const ToastContext = createContext<(words: string, kind?: Kind) => void>(() => {});

/** Gives a function that shows a sentence for a while. */
export function useToast(): (words: string, kind?: Kind) => void {
  return useContext(ToastContext);
}

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly { id: string; words: string; kind: Kind }[]>([]);
  const dismiss = useCallback((id: string) => setToasts((all) => all.filter((each) => each.id !== id)), []);
  const show = useCallback(
    (words: string, kind: Kind = "error") => {
      const id = crypto.randomUUID?.() ?? String(Math.random());
      setToasts((all) => [...all, { id, words, kind }].slice(-4));
      setTimeout(() => dismiss(id), kind === "error" ? 10_000 : 5_000);
    },
    [dismiss],
  );
  return (
    <ToastContext.Provider value={show}>
      {children}
      <div className="toasts" data-testid="toasts">
        {toasts.map(({ id, words, kind }) => (
          <p key={id} className={`toast ${kind}`} role={kind === "error" ? "alert" : "status"} data-testid="toast">
            <span>{words}</span>
            <button className="link" type="button" aria-label="Dismiss" onClick={() => dismiss(id)}>×</button>
          </p>
        ))}
      </div>
    </ToastContext.Provider>
  );
}
