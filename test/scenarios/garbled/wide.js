// Writes UTF-16 to standard error; then a timer throws.
console.log("INFO up");
for (let i = 0; i < 50; i++) console.error("INFO request", i, "200");
process.stderr.write(Buffer.from("a line of the log in two bytes for each letter, and more of it", "utf16le"));
setTimeout(() => { throw new Error("bad state"); }, 30);
