import { Component, type ErrorInfo, type ReactNode } from "react";
import { SessionContext } from "./provider.js";

/** What {@link SocketErrorBoundary} takes. */
export interface SocketErrorBoundaryProps {
  /** Shown instead of the children after one of them has thrown; as a function it gets the error and a way back. */
  fallback: ReactNode | ((error: Error, reset: () => void) => ReactNode);
  /** For reports. */
  onError?: (error: Error, info: ErrorInfo) => void;
  /** When it changes, as by a move to another channel, the children are tried again. */
  resetKey?: unknown;
  children?: ReactNode;
}

interface State {
  error: Error | null;
}

/**
 * Keeps an error that is thrown while the components below it render from taking the whole page along. The hooks of this
 * package throw only where no provider is; failures of the network are in their `error`.
 */
export class SocketErrorBoundary extends Component<SocketErrorBoundaryProps, State> {
  static override contextType = SessionContext;
  declare context: React.ContextType<typeof SessionContext>;
  override state: State = { error: null };

  static getDerivedStateFromError(thrown: unknown): State {
    return { error: thrown instanceof Error ? thrown : new Error(String(thrown)) };
  }

  override componentDidCatch(error: Error, info: ErrorInfo): void {
    this.props.onError?.(error, info);
  }

  override componentDidUpdate({ resetKey }: SocketErrorBoundaryProps): void {
    if (this.state.error && !Object.is(resetKey, this.props.resetKey)) this.reset();
  }

  /** Renders the children again, and makes sure of the connection. */
  readonly reset = (): void => {
    this.context?.client?.reconnect();
    this.setState({ error: null });
  };

  override render(): ReactNode {
    const { fallback, children } = this.props;
    if (!this.state.error) return children;
    return typeof fallback === "function" ? fallback(this.state.error, this.reset) : fallback;
  }
}
