// What every app answers: which worker it is, after so many milliseconds in which it does nothing else.
export function who(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(ms ?? 0));
  return { instance: process.env.NODE_APP_INSTANCE, pid: process.pid };
}
