// In a file that no compiler touches, since `import()` compiled for CommonJS becomes `require`, which
// does not accept a module with a top-level `await`.

exports.importFile = (url) => import(url);
