// Shows the OpenAPI document; everything else is Swagger UI.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null, // asks no other server
});
