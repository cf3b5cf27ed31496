// Writes lines until the reader is gone; nobody listens for 'error' on stdout.
let n = 0;
function more() { for (let i = 0; i < 50; i++) process.stdout.write(`event ${n++}\n`); setImmediate(more); }
more();
