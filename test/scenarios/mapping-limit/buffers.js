const all = [];
console.log('start');
for (;;) all.push(Buffer.alloc(64 << 20, 1));
