function flatten(tree) { return [tree.v, ...flatten(tree.next)]; }
const loop = { v: 1 }; loop.next = loop;
flatten(loop);
