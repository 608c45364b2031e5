"use strict";

// An answer with tokens signs the page in: what is called next is called with them. They are gone when the page is.
function accessToken(response) {
  try {
    const answer = JSON.parse(response.text);
    return (answer.tokens ?? answer).accessToken;
  } catch {
    return undefined;
  }
}

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  // It would send the document to another host.
  validatorUrl: null,
  responseInterceptor: (response) => {
    const token = accessToken(response);
    if (typeof token === "string") {
      ui.preauthorizeApiKey("bearer", token);
    }
    return response;
  },
});
