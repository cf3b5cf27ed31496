// Pushes updates to a client; what it does not take piles up, and there is a bound.
const net = require('net');
net.createServer((c) => {
  c.once('data', () => {
    const t = setInterval(() => {
      c.write(Buffer.alloc(1 << 20));
      if (c.writableLength > 60 << 20) throw new Error(`subscriber ${c.remoteAddress}:${c.remotePort} does not keep up, ${c.writableLength >> 20} MiB pending`);
    }, 60);
  });
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
