# Build: compile TypeScript, keep only what runs.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build \
 && npm prune --omit=dev --no-audit --no-fund \
 && find node_modules/onnxruntime-node/bin/napi-v6 -mindepth 1 -maxdepth 1 -not -name linux -exec rm -r {} +

FROM node:20-bookworm-slim
ENV NODE_ENV=production PLUMBLINE_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY models/tiny-chat models/tiny-chat
COPY models/tiny-reward models/tiny-reward
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080
# Listening beyond loopback needs PLUMBLINE_HOST=0.0.0.0 and PLUMBLINE_API_KEYS.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/cli.js", "serve"]
