// A part of the page that fails says so in its place; the others, and the picture, go on.
import { Component, type ReactNode } from "react";

interface Given {
  part: string;
  children: ReactNode;
}

export class Boundary extends Component<Given, { words: string | null }> {
  override state: { words: string | null } = { words: null };

  static getDerivedStateFromError(error: unknown): { words: string } {
    return { words: error instanceof Error ? error.message : String(error) };
  }

  override render(): ReactNode {
    if (this.state.words === null) return this.props.children;
    return (
      <div role="alert" className="failed-part">
        <p className="wrong">{this.props.part} has failed: {this.state.words}</p>
        <button type="button" className="plain" onClick={() => this.setState({ words: null })}>
          Try again
        </button>
      </div>
    );
  }
}
