// Prices over UDP. Every tick is priced on the event loop, and meanwhile nothing is read.
const dgram = require('dgram');
const s = dgram.createSocket('udp4');
let next = 0;
s.on('message', (m) => {
  const n = parseInt(m.toString(), 10);
  if (n !== next) throw new Error(`market data gap: ${n - next} ticks lost after ${next - 1}`);
  next = n + 1;
  const until = Date.now() + 5;
  while (Date.now() < until) ;
});
s.bind({ port: Number(process.argv[2]), address: '127.0.0.1' }, () => { s.setRecvBufferSize(4096); console.log('ready'); });
