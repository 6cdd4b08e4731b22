// client.js PORT FILE: asks again and again, each time on a new connection, until nobody answers the
// port; then writes to FILE how many were answered, and how many were lost: neither answered nor
// refused before they were made.
const fs = require("node:fs");
const http = require("node:http");
const [port, file] = process.argv.slice(2);
let answered = 0;
let lost = 0;

function ask() {
  return new Promise((resolve) => {
    const request = http.get({ port, agent: false }, (response) => {
      response.on("data", () => {});
      response.on("end", () => {
        answered += 1;
        if (answered % 20 === 0) fs.writeFileSync(`${file}.busy`, "");
        resolve(true);
      });
      response.on("error", () => {
        lost += 1;
        resolve(true);
      });
    });
    request.on("error", (error) => {
      if (error.code === "ECONNREFUSED") return resolve(false);
      lost += 1;
      console.log(`# lost: ${error.code} ${error.message}`);
      resolve(true);
    });
  });
}

async function one() {
  while (await ask());
}

Promise.all(Array.from({ length: 8 }, one)).then(() => {
  fs.writeFileSync(file, `${lost} lost`);
  console.log(`# ${answered} answered, ${lost} lost`);
});
