// Its heap outgrows V8's own limit.
const all = [];
for (;;) all.push(new Array(1000).fill({ a: all.length }));
