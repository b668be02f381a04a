// What the compiler is to think of the examples' files, which the bundler compiles.
declare module "*.vue" {
  const component: import("vue").Component;
  export default component;
}
declare module "*.svelte" {
  const component: import("svelte").Component<{ url: string; token: () => Promise<string>; channel: string }>;
  export default component;
}
