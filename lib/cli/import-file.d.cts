/** Imports a module by its file URL. */
export function importFile(url: string): Promise<{ readonly default?: unknown }>;
