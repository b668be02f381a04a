// What an application of the tests declares. It holds for the whole program, which is why this folder is one of its own.

/** As libraries of schemas make them: https://standardschema.dev */
interface Schema<T> {
  readonly "~standard": { readonly version: 1; readonly vendor: string; readonly validate: (value: unknown) => { value: T }; readonly types?: { readonly input: unknown; readonly output: T } | undefined };
}
export const poll = null as unknown as Schema<{ question: string; options: string[] }>;

declare module "@bellhop/client" {
  interface Register {
    rooms: {
      channel: {
        events: { "message:new": { content: string; color?: "red" | "green" }; "poll:opened": typeof poll; "poll:closed": { option: string } };
        signals: { cursor: { x: number; y: number } };
      };
      community: { presence: { mood: string } };
      board: { events: { "card:moved": { card: number } }; presence: { column: number } };
      user: { events: { "notification:new": { title: string; link: string } } };
    };
    calls: {
      "poll:vote": { data: { option: string }; answer: { votes: number } };
      "poll:count": { answer: number };
    };
  }
}
