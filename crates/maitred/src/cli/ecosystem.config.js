// What maitred runs: maitred start ecosystem.config.js
// docs/config.md explains all fields; the comments here are examples.

module.exports = {
  apps: [
    {
      // How the app is called in lists and logs, and what it runs.
      name: "app",
      script: "./server.js",
      // args: ["--verbose"],
      // cwd: "./",

      // How many copies: a number, or "max" for one a processor. They share the app's port.
      instances: 1,
      // exec_mode: "cluster",        // "fork": each copy has its own port
      // balance: "next_available",   // or "round_robin", "ip_hash"

      // Variables: env always, env_production with --env production.
      env: {
        // PORT: 3000,
      },
      env_production: {
        NODE_ENV: "production",
      },
      // env_file: ".env",

      // When a copy is restarted.
      // max_memory_restart: "500M",
      // cron_restart: "TZ=Europe/Berlin 0 3 * * *",
      // watch: ["./src"],
      // max_restarts: 16,

      // How a copy stops and starts.
      // kill_timeout: "5s",
      // wait_ready: true,            // it calls process.send("ready") when it is up
      // listen_timeout: "30s",

      // Where its output goes; by default into files in the home folder, which are rotated.
      // out_file: "./logs/out.log",
      // error_file: "./logs/error.log",
      // time: true,
    },
  ],
};
