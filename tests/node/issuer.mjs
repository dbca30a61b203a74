// An OpenID Connect issuer for tests. Clients get JWT access tokens for a resource by their own credentials.
// usage: node issuer.mjs SETTINGS.json; prints "listening on PORT".
import { readFileSync } from 'node:fs'
import Provider from 'oidc-provider'

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const provider = new Provider(settings.issuer, {
  jwks: { keys: settings.keys },
  clients: settings.clients.map(({ client_id, client_secret }) => ({
    client_id,
    client_secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: settings.algorithm,
  })),
  clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
  ttl: { ClientCredentials: settings.ttl_seconds },
  extraTokenClaims: (ctx, token) => settings.clients.find((client) => client.client_id === token.clientId).claims,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.audiences[0],
      getResourceServerInfo: (ctx, resource) => ({
        scope: 'upload',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: settings.algorithm } },
      }),
    },
  },
})
const server = provider.listen(settings.port, '127.0.0.1', () => console.log(`listening on ${server.address().port}`))
process.on('SIGTERM', () => process.exit(0))
