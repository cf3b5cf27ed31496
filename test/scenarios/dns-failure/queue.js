// Connects to its queue; 'resolve' asks the name server itself, past the C library.
const net = require('net'), dns = require('dns');
const host = process.argv[2];
if (process.argv[3] === 'resolve') {
  dns.promises.resolve4(host).then((a) => console.log(a));
} else {
  net.connect({ host, port: 5672 }).on('connect', () => console.log('queue up'));
}
