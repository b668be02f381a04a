import { Avatar } from "./parts.js";
import { address, capitalised, slug } from "./place.js";

/** Several users in one window: frames of this same page, so that each has a connection of its own. */
export function SideBySide({ names, channel = "lobby", community = "town" }: { names: string[]; channel?: string | undefined; community?: string | undefined }) {
  return (
    <div className="sides" data-testid="sides">
      <header>
        <h1 className="brand"><img src="favicon.svg" alt="" width="28" height="28" /> Bellhop</h1>
        <p>Write on one side and watch the other. Cut one off, and see it catch up.</p>
        <a href="?" data-testid="single">One window</a>
      </header>
      <main>
        {names.map((name, i) => (
          <figure key={i}>
            <figcaption><Avatar userId={slug(name)} name={capitalised(name)} /> {capitalised(name)}</figcaption>
            <iframe title={`${capitalised(name)}’s window`} src={address(name, { channel, community })} data-testid={`side-${name}`} />
          </figure>
        ))}
      </main>
    </div>
  );
}
