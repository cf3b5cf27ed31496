// Logs an error with its stack, as it does each night, and ends well.
try { null.x; } catch (e) { console.error(e.stack); }
console.log('backup done');
